/* SPDX-License-Identifier: Apache-2.0 */
/* Before anything is drawn: the colours that were chosen here before. */
"use strict";

(() => {
	let chosen = null;
	try {
		chosen = localStorage.getItem("fastpath-theme");
	} catch {
		// storage is forbidden here: the system's colours then
	}
	if (chosen === "light" || chosen === "dark")
		document.documentElement.dataset.theme = chosen;
})();
