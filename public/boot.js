/* Before the first paint: the remembered theme and language, so that nothing flashes. */
(function () {
  var root = document.documentElement;
  try {
    var theme = localStorage.getItem("maru.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    var lang = localStorage.getItem("maru.lang");
    if (lang === "ko" || lang === "en") root.lang = lang;
  } catch (e) {
    /* storage switched off: the system's preference holds */
  }
})();
