import sys
from grokcrit import probe

sys.modules[__name__] = probe
