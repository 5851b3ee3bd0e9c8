// Express as people write it: the compression middleware, and a route that writes events. Prints its port.
const express = require('express');
const compression = require('compression');

const app = express();

async function stream(response, afterEach) {
  response.setHeader('Content-Type', 'text/event-stream');
  for (let n = 0; n < 8; n += 1) {
    response.write(`data: {"n":${n}}\n\n`);
    afterEach();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  response.end();
}

app.get('/plain', (request, response) => stream(response, () => {}));
app.use(compression());
app.get('/compressed', (request, response) => stream(response, () => {}));
app.get('/flushed', (request, response) => stream(response, () => response.flush()));
app.get('/spared', (request, response) => {
  response.setHeader('Cache-Control', 'no-cache, no-transform');
  return stream(response, () => {});
});

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
