# make sweep: a small sweep on drawn photographs, from nothing to a report.
# make test: linting, types and tests.
# make docs: the documentation's site, in site/.
# make bench: speed, beside MMPose's where it is installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: sweep test docs bench install clean

install: $(VENV)/installed

# uv is several times faster where it is at hand; pip does the same.
$(VENV)/installed: pyproject.toml
	@if command -v uv >/dev/null; then \
		uv venv --quiet --seed --allow-existing --python $(PYTHON) $(VENV) && uv pip install --quiet --python $(BIN)/python -e '.[dev]'; \
	else \
		$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet -e '.[dev]'; \
	fi
	@touch $@

sweep: install
	$(BIN)/python -m lynx_pose.train -m experiment=demo model=tiny,tiny_resnet aug=geometric,color
	$(BIN)/python -m lynx_pose.report

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40

docs: install
	$(BIN)/python -m mkdocs build --strict

# PEER=<python of an environment with MMPose 1.3.2> measures it beside us; DATA=<raw Lynx-Pose folder> takes real photographs.
bench: install
	$(BIN)/python benchmarks/data_path.py $(if $(PEER),--peer-python $(PEER)) $(if $(DATA),--data $(DATA))
	$(BIN)/python benchmarks/predict.py $(if $(PEER),--peer-python $(PEER)) $(if $(DATA),--data $(DATA))
	for name in decoding training_step coco_figures validation_epoch start; do \
		$(BIN)/python benchmarks/$$name.py $(if $(PEER),--peer-python $(PEER)) || exit 1; \
	done
	$(BIN)/python benchmarks/table.py

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache
