import sys
from grokcrit.stages import bootstrap

sys.modules[__name__] = bootstrap
