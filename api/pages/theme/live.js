// Shows how old the page's data is, counted in the browser, so that it goes on when the server falls silent.
(() => {
  let freshAt = performance.now();
  let every = Infinity; // seconds between two looks of the page's quickest part
  const shown = () => {
    const badge = document.querySelector(".nb-live");
    if (!badge) return;
    const age = Math.floor((performance.now() - freshAt) / 1000);
    const words = badge.dataset;
    const stale = age > (every < Infinity ? Math.max(30, 2 * every) : 30);
    const amount = age < 60 ? `${age}${words.seconds}` : `${Math.floor(age / 60)}${words.minutes}`;
    const text = stale ? words.stale.replace("{age}", amount) : age < 2 ? words.now : words.age.replace("{age}", amount);
    badge.classList.toggle("nb-stale", stale);
    const label = badge.querySelector(".nb-live-words");
    if (label && label.textContent !== text) label.textContent = text;
    badge.title = text;
  };
  window.nbwaterFresh = (ageSeconds, everySeconds) => {
    every = Math.min(every, everySeconds);
    freshAt = performance.now() - ageSeconds * 1000;
    shown();
  };
  setInterval(shown, 1000);
})();
