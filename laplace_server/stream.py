"""Follow a server's stream: every update, in order, or a plain word on how many are lost.

    with ClientLHC("tcp://192.168.1.20:5555") as camera:
        with camera.subscribe("images") as images:
            for update in images:
                print(update.seq, update.data["mean"], update.lost_before)

A subscription has a connection of its own. The server sends as much as the subscription allows,
and it allows more as its updates are taken; what is not taken waits in the server's history, and
what has left the history is reported as lost.
"""

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.sync.subscription import Subscription
from laplace_server.client.updates import Update

__all__ = ["EndedEpoch", "Subscription", "Update"]
