// The clients that run in the browser; ?client= names one, ?url= is what it asks. tell() reaches the test.
const clients = {
  eventsource(url) {
    const source = new EventSource(url);
    const read = ({ type, data, lastEventId }) => tell({ event: { type, id: lastEventId, data } });
    source.onopen = () => tell({ open: true });
    source.onmessage = read;
    source.addEventListener('token', read);
    source.addEventListener('done', () => {
      source.close();
      tell({ end: true });
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) tell({ error: 'EventSource gave up' });
      else tell({ lost: true });
    };
  },

  async fetch(url) {
    const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' });
    tell({ open: Object.fromEntries(response.headers) });
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      tell({ event: decoder.decode(value, { stream: true }) });
    }
    tell({ end: true });
  },

  async 'fetch-event-source'(url) {
    const { fetchEventSource } = await import('/modules/@microsoft/fetch-event-source/lib/esm/index.js');
    await fetchEventSource(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
      openWhenHidden: true,
      onmessage: ({ event, id, data }) => tell({ event: { type: event || 'message', id, data } }),
      onerror: (error) => {
        throw error;
      },
    });
    tell({ end: true });
  },
};

const asked = new URLSearchParams(location.search);
Promise.resolve(clients[asked.get('client')](asked.get('url'))).catch((error) => tell({ error: String(error) }));
