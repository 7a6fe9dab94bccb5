import sys
from grokcrit.stages import avalanche

sys.modules[__name__] = avalanche
