/* SPDX-License-Identifier: Apache-2.0 */
/* What the page is built from. Text is only ever set as text: keys and names are others' bytes. */

const SVG = "http://www.w3.org/2000/svg";

export function byId(id) {
	return document.getElementById(id);
}

/** An element with properties, and children that are elements or text. */
export function element(tag, properties = {}, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (name === "class")
			made.className = value;
		else if (name.startsWith("data-") || name.startsWith("aria-") || name === "role" || name === "scope")
			made.setAttribute(name, value);
		else
			made[name] = value;
	}
	made.append(...children);
	return made;
}

/** One of the symbols of index.html: healthy, degraded, unhealthy, silent, off. */
export function icon(name, className = "icon") {
	const svg = document.createElementNS(SVG, "svg");
	const use = document.createElementNS(SVG, "use");
	svg.setAttribute("class", className);
	svg.setAttribute("aria-hidden", "true");
	use.setAttribute("href", `#icon-${name}`);
	svg.append(use);
	return svg;
}

export function setIcon(svg, name) {
	const href = `#icon-${name}`;
	const use = svg.firstElementChild;
	if (use.getAttribute("href") !== href)
		use.setAttribute("href", href);
}

/** Only what differs is touched: selections and screen readers stay undisturbed. */
export function setText(node, text) {
	const value = String(text);
	if (node.textContent !== value)
		node.textContent = value;
}

export function setHidden(node, hidden) {
	if (node.hidden !== hidden)
		node.hidden = hidden;
}

/** As many children as there are items; what is there is used again. make() gives a child, fill(child, item). */
export function setChildren(parent, items, make, fill) {
	while (parent.children.length > items.length)
		parent.lastElementChild.remove();
	items.forEach((item, i) => {
		if (i >= parent.children.length)
			parent.append(make());
		fill(parent.children[i], item);
	});
}

function setCell(cell, value) {
	const { text, status, share } = typeof value === "object" && value !== null ? value : { text: value };
	setText(cell, text);
	if (status)
		cell.dataset.status = status;
	else
		delete cell.dataset.status;
	if (share === undefined) {
		cell.classList.remove("bar");
	} else {
		cell.classList.add("bar");
		cell.style.setProperty("--share", `${Math.min(100, share * 100).toFixed(1)}%`);
	}
}

/**
 * A table: columns are {title, number, wide}; update() takes rows of cells, each a text, or {text, status, share}, where
 * share (0 to 1) is drawn behind the text. The first cell is the row's heading.
 */
export class Table {
	constructor(table, caption, columns) {
		const titles = columns.map((column) => element("th", { scope: "col", class: classOf(column) }, column.title));
		this.columns = columns;
		this.body = element("tbody");
		this.empty = element("p", { class: "empty" });
		table.append(element("caption", { class: "hidden" }, caption), element("thead", {}, element("tr", {}, ...titles)),
			this.body);
		table.after(this.empty);
		this.table = table;
	}

	update(rows, nothing = "Nothing here.") {
		setHidden(this.table, rows.length === 0);
		setHidden(this.empty, rows.length > 0);
		setText(this.empty, rows.length === 0 ? nothing : "");
		setChildren(this.body, rows, () => this.row(), (row, cells) => {
			cells.forEach((cell, i) => setCell(row.children[i], cell));
		});
	}

	row() {
		return element("tr", {}, ...this.columns.map((column, i) => i === 0 ?
			element("th", { scope: "row", class: classOf(column) }) : element("td", { class: classOf(column) })));
	}
}

function classOf(column) {
	return [column.number ? "number" : "", column.wide ? "wide" : ""].join(" ").trim();
}
