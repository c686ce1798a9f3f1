"""The module that Envoy loads: the application, with the settings of the environment."""

import gc
import sys

from conexiones.app import build
from conexiones.settings import Settings
from conexiones.transport.front import Unbuilt
from conexiones.transport.process import logs
from conexiones.transport.single_loop import SingleLoop

GARBAGE_THRESHOLD = 5000
"""New objects after which the garbage collector examines them. Images on their way have more objects than its
default of 700, so that it would examine the same ones again and again."""

SWITCH_SECONDS = 0.0005
"""How long a thread that judges an image may keep the interpreter while the event loop waits for it. With the
default of 5 ms, each step of every other call would take that much longer for each such thread."""

settings = Settings.load()
logs.configure(settings.log_level, settings.log_format)
try:
    app = SingleLoop(build(settings))
except ValueError as error:  # a setting that only its driver knows to be none
    app = SingleLoop(Unbuilt(error))
sys.setswitchinterval(SWITCH_SECONDS)
gc.freeze()
gc.set_threshold(GARBAGE_THRESHOLD)
