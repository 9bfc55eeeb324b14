#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Ten seconds of clients that do their worst; `make hostile` runs longer.
HOSTILE_SECONDS=${HOSTILE_SECONDS:-10} exec "$(dirname "$0")/../hostile.sh"
