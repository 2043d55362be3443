"use strict";
// Keeps the page's files in the browser, so that it opens without a network from then on.

const FILES = {{ files | tojson }};
const CACHE = "googlenet-{{ version }}";

// The small files past the browser's other cache, which may have those of an earlier page.
const fresh = (url) => (url.includes("?") ? url : new Request(url, { cache: "reload" }));

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES.map(fresh))));
});

addEventListener("activate", (event) => {
  const old = (names) => names.filter((name) => name.startsWith("googlenet-") && name !== CACHE);
  event.waitUntil(caches.keys().then((names) => Promise.all(old(names).map((name) => caches.delete(name)))));
});

addEventListener("fetch", (event) => {
  event.respondWith(caches.open(CACHE).then(async (cache) => (await cache.match(event.request)) ?? fetch(event.request)));
});
