// Sends the files that are dropped or chosen, one after the other; triggers "uploaded" after each.
const zone = element.querySelector(".comet-drop");
const input = zone.querySelector("input");
const list = zone.querySelector(".sent");
let sending = Promise.resolve();

input.addEventListener("change", () => {
  sendAll([...input.files]);
  input.value = "";
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  zone.addEventListener(name, (event) => {
    event.preventDefault();
    zone.classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
zone.addEventListener("drop", (event) => sendAll([...event.dataTransfer.files]));

function sendAll(files) {
  list.replaceChildren();
  for (const file of files) {
    const line = document.createElement("li");
    list.append(line);
    line.textContent = zone.dataset.sending.replaceAll("{name}", file.name);
    sending = sending.then(() => send(file, line)).then(() => trigger(events[0], {}));
  }
}

async function send(file, line) {
  const failed = (sentence) => {
    line.className = "problem";
    line.textContent = sentence;
  };
  if (file.size > Number(zone.dataset.limit)) {
    return failed(zone.dataset.tooLarge.replaceAll("{name}", file.name));
  }
  try {
    const url = `${zone.dataset.url}?name=${encodeURIComponent(file.name)}`;
    const response = await fetch(url, { method: "POST", body: file });
    if (response.ok) line.remove();
    else failed((await response.json()).detail);
  } catch {
    failed(zone.dataset.notSent.replaceAll("{name}", file.name));
  }
}
