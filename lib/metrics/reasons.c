/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/reasons.h"

const struct reason_info reason_table[REASON_COUNT] = {
#define X(id, name_, unit_, kind_, sentence_) \
	[REASON_##id] = {name_, REASON_UNIT_##unit_, REASON_KIND_##kind_, sentence_},
    REASON_TABLE(X)
#undef X
};
