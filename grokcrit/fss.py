import sys
from grokcrit.stages import fss

sys.modules[__name__] = fss
