"""`python -m tests.workers COUNT [OPTION=VALUE...]`: a scheduler with workers, as of a cluster.

It prints the scheduler's address and ends once its input does.
"""

import json
import sys

import dask
from distributed import LocalCluster

if __name__ == "__main__":
    options = dict(given.split("=", 1) for given in sys.argv[2:])
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, host="127.0.0.1", memory_limit=0,
        dashboard_address="127.0.0.1:0", **options,
    ) as cluster:  # fmt: skip
        print(json.dumps(cluster.scheduler_address), flush=True)
        sys.stdin.read()
