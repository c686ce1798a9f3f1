"""Three servers under load while something is killed, or stands still: nothing acknowledged is lost."""

import asyncio
import os
import random

from tests.replicas.conftest import Replica
from tests.replicas.faults import Load, faults
from tests.support import postgres, seaweed
from tests.support.lengths import kills


def test_what_is_acknowledged_is_so(replica: Replica, shared_settings: dict[str, str]) -> None:
    seed = int(os.environ.get("CONEXIONES_SEED", random.randrange(10**6)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    with postgres.running() as engine, seaweed.running() as objects:
        shared_settings |= {
            "database": engine.url(),
            "blobs": f"s3://{objects.bucket()}",
            "s3_endpoint": objects.url,
        }
        servers = [replica(auth="none") for _ in range(3)]
        load = Load(servers, chance)

        async def run() -> None:
            wrong = faults(servers, engine, objects)
            async with load.running():
                for _ in range(kills()):
                    await load.acknowledged.progress()
                    name = chance.choice(list(wrong))
                    print(name)
                    await asyncio.to_thread(wrong[name], chance)
                await load.acknowledged.progress()
            await load.check()

        asyncio.run(run())
