/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's console: asks the engine once a second, and shows what it says. */
import { Charts } from "./charts.js";
import { byId, setText } from "./dom.js";
import { Engine } from "./engine.js";
import * as format from "./format.js";
import { refreshOwnership, startKeys } from "./keys.js";
import { showSilence, showState } from "./state.js";
import { showChanges, showTables } from "./tables.js";
import { showTiles } from "./tiles.js";

const charts = new Charts(byId("chart-grid"));
const engine = new Engine(() => show());

function show() {
	showState(engine);
	showTiles(engine);
	showTables(engine);
	showChanges(engine);
	charts.show(engine);
	if (engine.silentSince === null && engine.now?.health.recovered && !document.hidden)
		refreshOwnership();
}

function startTheme() {
	const root = document.documentElement;
	const chosen = root.dataset.theme ?? "auto";
	for (const choice of document.querySelectorAll("#theme input"))
		choice.checked = choice.value === chosen;
	byId("theme").addEventListener("change", (event) => {
		if (event.target.value === "auto")
			delete root.dataset.theme;
		else
			root.dataset.theme = event.target.value;
		try {
			localStorage.setItem("fastpath-theme", event.target.value);
		} catch {
			// storage is forbidden here: it holds as long as the page
		}
		charts.recolour();
	});
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.recolour());
}

function startControls() {
	byId("range").addEventListener("change", (event) => {
		charts.setRange(Number(event.target.value));
		charts.show(engine);
	});
	byId("try-now").addEventListener("click", () => engine.ask());
	byId("reload").addEventListener("click", () => location.reload());
	byId("all-reasons").addEventListener("change", () => showTables(engine));
	byId("figures-box").addEventListener("toggle", () => showTables(engine));
	byId("figures-filter").addEventListener("input", () => showTables(engine));
	setInterval(() => {
		setText(byId("clock"), format.clock(Date.now()));
		showSilence(engine);
	}, 1000);
	setText(byId("clock"), format.clock(Date.now()));
}

startTheme();
startControls();
startKeys();
engine.start();
