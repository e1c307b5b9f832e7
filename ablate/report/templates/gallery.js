// The gallery: two variants' maps of one image beneath a slider; filters; worst misses first.
"use strict";

{
  const root = document.getElementById("viewer");
  const gallery = carried.gallery;
  const at = (name) => root.querySelector(`[data-part=${name}]`);

  function options(select, values, all) {
    const entries = all === undefined ? [] : [["", all]];
    for (const value of values) entries.push([value, value]);
    select.replaceChildren(...entries.map(([value, textContent]) => make("option", { value, textContent })));
  }

  function start() {
    const distinct = (values) => [...new Set(values)].sort((a, b) => a.localeCompare(b));
    const views = ["image", "ground truth", ...gallery.variants];
    for (const side of ["left", "right"]) {
      at(side).replaceChildren(...views.map((textContent, i) => make("option", { value: String(i), textContent })));
    }
    at("left").value = "2";
    at("right").value = String(Math.min(3, views.length - 1));
    options(at("category"), distinct(gallery.images.map((image) => image.category)), "all");
    options(at("type"), distinct(gallery.images.map((image) => image.type)), "all");
    options(at("stratum"), distinct(gallery.images.flatMap((image) => image.strata)), "all");
    options(at("outcome"), distinct(gallery.images.flatMap((image) => image.outcomes)), "all");

    let shown = [];
    let current = 0;
    const chosen = () => [Number(at("left").value), Number(at("right").value)];
    // Outcome and order follow the left variant; for image and ground truth, the first one.
    const judge = () => Math.max(0, chosen()[0] - 2);

    function source(image, view) {
      return view === 0 ? image.image : view === 1 ? image.mask : image.maps[view - 2];
    }

    function describe(image, view) {
      if (view < 2) return views[view];
      return `${views[view]}: score ${image.scores[view - 2].toFixed(3)}, ${image.outcomes[view - 2]}`;
    }

    function draw() {
      const image = shown[current];
      at("stage").hidden = at("split").hidden = !image;
      at("caption").textContent = image ? "" : "No image passes these filters.";
      if (!image) return;
      const [left, right] = chosen();
      const share = Number(at("split").value);
      at("below").src = source(image, right);
      at("below").alt = describe(image, right);
      at("above").src = source(image, left);
      at("above").alt = describe(image, left);
      at("above").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
      at("edge").style.left = `${share}%`;
      const facts = [image.category, image.type, ...image.strata].join(", ");
      at("caption").textContent = `Left: ${describe(image, left)}. Right: ${describe(image, right)}. ${facts}. ${image.path}`;
      [...at("strip").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === current)));
    }

    function refresh() {
      const variant = judge();
      const wanted = { category: at("category").value, type: at("type").value };
      const stratum = at("stratum").value;
      const outcome = at("outcome").value;
      shown = gallery.images.filter((image) =>
        (!wanted.category || image.category === wanted.category) &&
        (!wanted.type || image.type === wanted.type) &&
        (!stratum || image.strata.includes(stratum)) &&
        (!outcome || image.outcomes[variant] === outcome));
      shown.sort((a, b) => b.wrong[variant] - a.wrong[variant]);
      at("count").textContent = `${shown.length} of ${gallery.images.length} images, worst misses of ${gallery.variants[variant]} first`;
      at("strip").replaceChildren(...shown.map((image, i) => {
        const name = `${image.category}, ${image.type}: ${image.outcomes[variant]}`;
        const button = make("button", { type: "button", title: name }, make("img", { src: image.image, alt: name, loading: "lazy" }));
        button.addEventListener("click", () => { current = i; draw(); });
        return button;
      }));
      current = 0;
      draw();
    }

    for (const part of ["category", "type", "stratum", "outcome", "left"]) at(part).addEventListener("change", refresh);
    at("right").addEventListener("change", draw);
    at("split").addEventListener("input", draw);
    at("back").addEventListener("click", () => { current = Math.max(0, current - 1); draw(); });
    at("on").addEventListener("click", () => { current = Math.min(shown.length - 1, current + 1); draw(); });
    root.hidden = false;
    refresh();
  }

  if (root && gallery) start();
}
