"""What Envoy loads: the application, by the settings in the environment."""

import gc

from conexiones.app import build
from conexiones.settings import Settings
from conexiones.transport.process import logs
from conexiones.transport.single_loop import SingleLoop

GARBAGE = 5000
"""New objects at which the garbage collector looks through them. Images on their way have more than its own
700, and it would look at the same ones again and again."""

settings = Settings.load()
logs.configure(settings.log_level)
app = SingleLoop(build(settings))
gc.freeze()
gc.set_threshold(GARBAGE)
