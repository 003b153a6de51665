#!/bin/bash
# unit-manager.sh TESTS: the unit managers' conformance suite against systemd's; run inside the sandboxed systemd with the
# units of Tests/UnitManagerTests/Units. TESTS is the package's test program.
set -u
touch /run/shot-cpu1
systemctl start dbus.service || exit 1
FTVS_TEST_UNITS=1 exec timeout 60 "$1" --testing-library swift-testing --filter UnitManagerTests
