"""Scan a stage: at each position one shot that stage, camera and meter have seen, whoever goes.

    python scan.py ADDRESS ADDRESS ADDRESS
The addresses are of those three. scan_devices.py has simulated ones.
"""

import logging
import sys

from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError
from laplace_server.fleet import Fleet
from laplace_server.gather import gather

POSITIONS = [0.25 * step for step in range(1, 21)]  # mm

logging.basicConfig(format="%(message)s")  # the table is printed, what goes wrong is logged
with Fleet(sys.argv[1:], timeout_s=5.0) as fleet:
    fleet.save("/data/scan")  # told again to whoever comes back
    stage, camera, meter = (ClientLHC(address, timeout_s=5.0) for address in sys.argv[1:])
    sources = {"stage": (stage, "shots"), "camera": (camera, "shots"), "meter": (meter, "shots")}
    with stage, camera, meter, gather(sources, key="shot", wait_s=5.0) as shots:
        next(shot for shot in shots if shot.complete)  # from here on all are followed
        done = 0
        while done < len(POSITIONS) and not fleet.wait(60.0):  # until all are there, and know it
            try:
                stage.move([POSITIONS[done]], tolerance=0.001, timeout_s=5.0)
            except LaplaceError as error:
                logging.warning("not at %.2f mm yet: %s", POSITIONS[done], error)
                continue
            shot = shots.next()
            saw = {name: update.data for name, update in shot.updates.items()}
            if shot.missing:
                logging.warning("shot %d is missing %s", shot.key, shot.missing)
            elif abs(saw["stage"]["positions"][0] - POSITIONS[done]) <= 0.001:  # no older shot
                light, energy = max(map(max, saw["camera"]["image"])), saw["meter"]["energy_J"]
                print(f"{POSITIONS[done]:5.2f} mm  {light:4} counts  {energy:.3f} J", flush=True)
                done += 1
print(f"{done} of {len(POSITIONS)} positions are complete")
