// Browsers start no worker from file://, so that the search of a site without a server runs its
// worker in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.frame = frame.contentWindow;
      window.addEventListener("message", (event) => {
        if (event.source !== this.frame) return;
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      });
      this.ready = new Promise((resolve) => {
        const page = this.frame.document;
        page.open();
        page.write("<html><body></body></html>");
        page.close();
        this.frame.postMessage = (data) => {
          window.dispatchEvent(new MessageEvent("message", { data, source: this.frame }));
        };
        this.frame.importScripts = (...urls) => Promise.all(urls.map((from) => load(page, from)));
        load(page, url).then(resolve);
      });
    }

    postMessage(data) {
      this.ready.then(() => {
        const message = new this.frame.MessageEvent("message", { data });
        this.frame.dispatchEvent(message);
      });
    }

    terminate() {
      this.frame.frameElement.remove();
    }
  };

  function load(page, url) {
    return new Promise((resolve, reject) => {
      const script = page.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = reject;
      page.body.appendChild(script);
    });
  }
}
