// What is hard to read or to name on the page as it is: text with too little contrast (WCAG AA),
// and controls without a name.
() => {
  const visible = (it) => it.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && it.getBoundingClientRect().width > 1;
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (it) => {
    for (let at = it; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
      if (a > 0.5) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const contrast = (it) => {
    const style = getComputedStyle(it);
    const ink = it instanceof SVGElement ? style.fill : style.color;
    const [high, low] = [light(channels(ink)), light(behind(it))].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const hasText = (it) => [...it.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const faint = [...document.querySelectorAll("body *")]
    .filter((it) => hasText(it) && !["SCRIPT", "STYLE"].includes(it.tagName) && visible(it))
    .filter((it) => !it.closest("[disabled]"))
    .filter((it) => {
      const style = getComputedStyle(it), size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      return contrast(it) < (large ? 3 : 4.5);
    })
    .map((it) => `${it.tagName}.${it.className?.baseVal ?? it.className} ` +
      `"${it.textContent.trim().slice(0, 40)}" ${contrast(it).toFixed(2)}`);
  const nameless = [...document.querySelectorAll("button, a[href], input, select, textarea")]
    .filter(visible)
    .filter((it) => !(it.getAttribute("aria-label") || it.getAttribute("aria-labelledby") ||
      it.title || it.labels?.[0]?.textContent.trim() || it.textContent.trim()))
    .map((it) => it.outerHTML.slice(0, 200));
  return { faint, nameless };
}
