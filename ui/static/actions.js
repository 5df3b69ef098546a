// Buttons with data-action trigger an event of that name; data-confirm asks first.
element.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-action]");
  if (!button || !events.includes(button.dataset.action)) return;
  const { action, id } = button.dataset;
  if (button.dataset.confirm && !(await confirmed(button.dataset))) return;
  trigger(action, { id: id ?? "" });
});

function confirmed({ confirm, confirmYes, confirmNo }) {
  const dialog = document.createElement("dialog");
  dialog.className = "comet-dialog";
  const question = document.createElement("p");
  question.textContent = confirm;
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(choice(confirmNo, "no", "comet-button"), choice(confirmYes, "yes", "comet-button danger"));
  dialog.append(question, form);
  dialog.setAttribute("aria-label", confirm);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

function choice(label, value, style) {
  const button = document.createElement("button");
  button.textContent = label;
  button.value = value;
  button.className = style;
  return button;
}
