"use strict";
(() => {
    const root = document.documentElement, at = (id) => document.getElementById(id);
    const plan = JSON.parse(at("plan").textContent);
    const steps = [...document.querySelectorAll(".step")], links = [...document.querySelectorAll("nav a")];
    const picture = document.querySelector(".picture"), stage = document.querySelector(".stage");
    const part = (kind) => [...picture.querySelectorAll(`[data-${kind}]`)]
        .sort((a, b) => a.dataset[kind] - b.dataset[kind]);
    const edges = part("edge"), vertices = part("vertex"), slider = at("slider");
    const calm = matchMedia("(prefers-reduced-motion: reduce)"), last = steps.length - 1;
    let now = -1;

    const known = (edge, way, step) => {
        const found = edge.querySelector(`[data-way="${way}"]`);
        if (found) found.classList.toggle("known", step >= 0 && step <= now);
    };

    const show = (step, speak = true) => {
        step = Math.max(0, Math.min(last, step));
        if (step === now) return;
        now = step;
        const [nodes, lines] = plan.steps[now];
        steps.forEach((s, i) => s.classList.toggle("now", i === now));
        links.forEach((a, i) => i === now ? a.setAttribute("aria-current", "step") : a.removeAttribute("aria-current"));
        edges.forEach((edge, e) => {
            known(edge, "value", plan.values[e]);
            known(edge, "gradient", plan.gradients[e]);
            edge.classList.toggle("edge-now", lines.includes(e));
        });
        vertices.forEach((vertex, v) => vertex.classList.toggle("vertex-now", nodes.includes(v)));
        slider.value = now;
        slider.setAttribute("aria-valuetext", `${now + 1} of ${last + 1}`);
        at("where").textContent = `${now + 1} / ${last + 1}`;
        at("first").disabled = at("previous").disabled = now === 0;
        at("next").disabled = at("last").disabled = now === last;
        if (speak) at("said").textContent = steps[now].dataset.say;
        history.replaceState(null, "", `#${now + 1}`);  // no id: the browser would scroll to it
        look(speak);
    };

    // Bring the node into the picture's frame, and the step's first line under the picture.
    const look = (glide = true) => {
        const behavior = glide && !calm.matches ? "smooth" : "auto";
        const vertex = vertices[plan.steps[now][0][0]];
        if (vertex) {
            const box = vertex.getBoundingClientRect(), frame = picture.getBoundingClientRect();
            picture.scrollTo({
                left: picture.scrollLeft + (box.left + box.right - frame.left - frame.right) / 2,
                top: picture.scrollTop + (box.top + box.bottom - frame.top - frame.bottom) / 2,
                behavior,
            });
        }
        const sticky = getComputedStyle(stage).position === "sticky";
        const above = steps[now].getBoundingClientRect().top - (sticky ? stage.offsetHeight : 0);
        if (sticky && above < 0) scrollTo({top: scrollY + above - 12, behavior});
    };

    const addressed = () => Number(/^#(?:step-)?(\d+)$/.exec(location.hash)?.[1] || 0) - 1;

    // A node has a step forward and one backward: the one of the direction that the page is in, then the other.
    const lead = (v) => {
        const ways = plan.leads[v];
        if (!ways.length) return;
        const here = ways.indexOf(now);
        if (here >= 0) return show(ways[(here + 1) % ways.length]);
        const same = ways.find((i) => steps[i].classList[1] === steps[now].classList[1]);
        show(same === undefined ? ways[0] : same);
    };

    vertices.forEach((vertex, v) => {
        vertex.classList.toggle("bare", !vertex.querySelector("circle, rect"));
        if (!plan.leads[v].length) return;
        const name = steps[plan.leads[v][0]].querySelector("h2").textContent;
        vertex.setAttribute("role", "button");
        vertex.setAttribute("tabindex", "0");
        vertex.setAttribute("aria-label", `${vertex.querySelector("text")?.textContent || ""} ${name}: go to its step`);
        vertex.addEventListener("click", () => lead(v));
        vertex.addEventListener("keydown", (event) => {
            if (event.key === "Enter" || event.key === " ") { event.preventDefault(); lead(v); }
        });
    });

    const keys = {
        ArrowRight: () => now + 1, ArrowLeft: () => now - 1, Home: () => 0, End: () => last,
        " ": (event) => now + (event.shiftKey ? -1 : 1),
    };
    document.addEventListener("keydown", (event) => {
        const from = event.target, key = keys[event.key];
        if (!key || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || from === slider) return;
        if (event.key === " " && from.closest("button, a, [role=button]")) return;
        const table = from.closest(".scroll");
        if (table && table.scrollWidth > table.clientWidth) return;  // its own arrow keys move it
        event.preventDefault();
        show(key(event));
    });
    for (const [id, step] of Object.entries({first: () => 0, previous: () => now - 1, next: () => now + 1, last: () => last}))
        at(id).addEventListener("click", () => show(step()));
    slider.addEventListener("input", () => show(Number(slider.value)));
    links.forEach((a, i) => a.addEventListener("click", (event) => { event.preventDefault(); show(i); }));
    at("fit").addEventListener("click", () => {
        at("fit").setAttribute("aria-pressed", picture.classList.toggle("fit"));
        look();
    });
    addEventListener("hashchange", () => { if (addressed() >= 0) show(addressed()); });

    root.classList.add("js");
    show(Math.max(0, addressed()), false);
})();
