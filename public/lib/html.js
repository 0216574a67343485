/**
 * The template tag and the hooks the pages are written with: preact and htm under one name.
 *
 *   import { html, render, useState } from "../lib/html.js";
 *   render(html`<p>${text}</p>`, root);      // values are escaped; there is no raw HTML
 */
import { h, render, Fragment } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(h);
export { h, render, Fragment };
export {
  useCallback, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "../vendor/preact-hooks.js";
