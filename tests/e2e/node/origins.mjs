// A gated event stream in the kinds of server that people write in Node: origins.mjs KIND [KEY CERTIFICATE].
// Orders: {"send": text} writes it, {"end": true} ends, {"cut": true} closes the connection; all on the latest answer.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import compression from 'compression';
import express from 'express';
import { now, orders, tell } from './tell.mjs';

const [kind, key, certificate] = process.argv.slice(2);
let answer;

function stream(request, response) {
  const told = { method: request.method, url: request.url, headers: request.headers };
  request.resume();
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' });
  response.flushHeaders();
  response.on('close', () => tell({ closed: response.writableFinished ? 'whole' : 'early' }));
  answer = response;
  tell({ request: told });
}

const app = (...middlewares) => {
  const made = express();
  middlewares.forEach((middleware) => made.use(middleware));
  return made.use(stream);
};

const servers = {
  http: () => http.createServer(stream),
  https: () => https.createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, stream),
  express: () => http.createServer(app()),
  'express-compression': () => http.createServer(app(compression())),
};

const server = servers[kind]();
server.listen(0, '127.0.0.1', () => {
  tell({ listening: { port: server.address().port, scheme: kind === 'https' ? 'https' : 'http' } });
});

orders((order) => {
  const at = now();
  if (order.send !== undefined) {
    answer.write(order.send, () => {});
    tell({ sent: true }, at);
  } else if (order.end) {
    answer.end();
    tell({ ended: true }, at);
  } else if (order.cut) {
    answer.socket.destroy();
    tell({ was_cut: true }, at);
  }
});
