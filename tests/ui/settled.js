// Resolves when nothing of the chat page has changed for half a second.
() =>
  new Promise((resolve) => {
    const rest = () => setTimeout(() => (observer.disconnect(), resolve()), 500);
    const observer = new MutationObserver(() => {
      clearTimeout(timer);
      timer = rest();
    });
    let timer = rest();
    observer.observe(document.querySelector(".comet-chat"), {
      attributes: true,
      characterData: true,
      childList: true,
      subtree: true,
    });
  });
