# What can be done here; `make` alone lists it. ARGS goes to pytest: make test ARGS="-k matrix"
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-tests demo guest package test test-vm test-kills test-stores test-fast coverage lint bench pictures lock clean
MAKEFLAGS += --no-print-directory

# A file's tests stay together, so that what they share is started once.
PYTEST := .venv/bin/pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder
SLOW := api/test_schemathesis.py browser clients cloudinit nova libvirt vm guest/packaging guest/consumers packaging demo crash cli reference target/test_real.py \
	metrics/test_monitoring.py setup/test_a_month_ahead.py test_server.py test_workers.py test_fill_and_drain.py stores/test_processes.py
# Of the quick ones, those that are not quick enough to be run all the time.
THOROUGH := audit books guest/measure guest/test_kill.py guest/test_planner.py guest/render/test_system.py networks \
	http/test_old_names.py life/test_interrupted.py overlay/test_sequences.py stores/test_concurrency.py \
	stores/test_records.py stores/test_sql.py test_assignment.py test_demand.py test_reasons.py test_sockets.py
# Those that need database servers, which only `make test` has; each of their files starts its own.
SERVERS := -m servers tests/stores
# Of the tests in virtual machines, those that take too long for every change: make test-vm.
LONG := $(foreach name,containers dataplane displaced exempt fence killed kubernetes machine package \
	watch,vm/test_$(name).py)
BENCHES := commands serve fit streams store engines page overlay waiting storm hostile drift

help: ## list these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' Makefile | while IFS='|' read -r target does; do \
		printf '  make %-10s %s\n' "$$target" "$$does"; done

setup: ## get this checkout ready to run; returns at once where it is
	@scripts/setup

setup-dev:
	@scripts/setup --dev

setup-tests:
	@scripts/setup --tests
	@scripts/guest

demo: setup ## see it work: a guest learns which of its CPUs are dedicated
	@.venv/bin/mdsvc demo

guest: setup ## build the guest tool: dist/mdguest.pyz, and its Debian package
	@scripts/guest

package: setup ## build a Debian package of the server, with all that it needs: dist/mdsvc_*.deb
	@scripts/package

# Without ARGS the quick ones come first, and hold the coverage that pyproject.toml asks for.
test: setup-tests ## run every test but the longest ones in virtual machines
	@$(if $(ARGS),,$(MAKE) coverage)
	@$(PYTEST) $(LONG:%=--ignore=tests/%) $(if $(ARGS),$(ARGS),-m 'not servers' $(SLOW:%=tests/%))
	@$(if $(ARGS),,$(PYTEST) $(SERVERS))

test-stores: setup-tests ## run the tests of the stores, the long ones of servers that fail too
	@MDSVC_STORES_LONG=1 $(PYTEST) tests/stores $(ARGS)

test-vm: setup-tests ## run all tests in virtual machines; MDGUEST_SUITES="bookworm trixie sid"
	@MDGUEST_WATCH_SECONDS=$${MDGUEST_WATCH_SECONDS:-600} $(PYTEST) tests/vm $(ARGS)

test-kills: setup-dev ## kill the guest tool at every step of every plan; make test does it at every third
	@MDGUEST_KILLS=all $(PYTEST) tests/crash/test_guest_tool.py $(ARGS)

test-fast: setup-dev ## run the quick tests, in less than a minute
	@$(PYTEST) $(patsubst %,--ignore=tests/%,$(SLOW) $(THOROUGH)) -m 'not servers' $(ARGS)

coverage: setup-dev ## run all but the slow tests, and list the lines and branches that none reached
	@$(PYTEST) $(SLOW:%=--ignore=tests/%) -m 'not servers' --cov $(ARGS)

lint: setup-dev ## check style, types and layers
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo --cache-dir .cache/import-linter

bench: setup-tests ## run the measurements
	@for name in $(BENCHES); do .venv/bin/python -m bench.$$name || exit 1; done

pictures: setup-tests ## make the pictures of docs/page.md anew
	@MDSVC_PICTURES=1 $(PYTEST) tests/browser/test_pictures.py

lock: ## renew the pinned versions in all requirements files
	@scripts/lock --upgrade

clean: ## remove all that the other targets made
	rm -rf .venv .venv-nova .venv-clients .cache .hypothesis dist
	find . -name __pycache__ -prune -exec rm -rf {} +
