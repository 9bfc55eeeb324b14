#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# An attacker on the network without the key; `make attack` does more of it.
QUICK=1 exec "$(dirname "$0")/../attack.sh"
