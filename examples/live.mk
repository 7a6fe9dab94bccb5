# What the examples inside a training loop share: runs that record themselves, then their table,
# D(t) and the figure. A Makefile includes it; TRAIN is the command that trains a run.

PYTHON   ?= python
GROKCRIT ?= grokcrit
BUILD    ?= build
WIDTHS   ?= 32 48 64 96
SEEDS    ?= 0 1 2
STEPS    ?= 300
EVERY    ?= 10
# Test accuracy, per character, above which a run counts as past its transition.
ACCURACY ?= 0.7
OPTIONS  ?= --quiet
TRAIN    ?= $(PYTHON) train.py

# All runs write into one folder of parts; a mark beside it says which are complete.
RUNS := $(foreach width,$(WIDTHS),$(SEEDS:%=$(BUILD)/width-$(width)-seed-%.done))

.DELETE_ON_ERROR:
.PHONY: all smoke watch clean

all: $(BUILD)/dimension.png watch

smoke:
	$(MAKE) BUILD=build-smoke WIDTHS="8 12 16" SEEDS="0 1" STEPS=20 EVERY=5 ACCURACY=0.1

$(BUILD):
	mkdir -p $@

$(BUILD)/width-%.done: train.py | $(BUILD)
	$(TRAIN) --width $(subst -seed-, --seed ,$*) --steps $(STEPS) --every $(EVERY) --out $(BUILD)
	@touch $@

# The cascades have been run; this notes when each run was past its transition.
$(BUILD)/avalanche.parquet: $(RUNS)
	$(GROKCRIT) avalanche $(BUILD)/parts --grok-accuracy $(ACCURACY) -o $@ $(OPTIONS)

$(BUILD)/fss.parquet: $(BUILD)/avalanche.parquet
	$(GROKCRIT) fss $< -o $@ $(OPTIONS)

$(BUILD)/dimension.png: $(BUILD)/avalanche.parquet $(BUILD)/fss.parquet
	$(GROKCRIT) plot dimension $^ -o $@ $(OPTIONS)

# Without --once, in a second terminal, it shows the runs while they train.
watch: $(RUNS)
	$(GROKCRIT) watch $(BUILD)/parts --once

clean:
	rm -rf $(BUILD) build-smoke
