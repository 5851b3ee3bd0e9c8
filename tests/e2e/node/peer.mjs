// What people have instead of us: Express with compression() and createProxyMiddleware, nothing but their defaults.
// It serves our page at /page/ too, so that a browser has an origin to be on. peer.mjs UPSTREAM
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import compression from 'compression';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { orders, tell } from './tell.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const app = express();
app.use('/page', express.static(join(here, 'page')));
app.use('/modules', express.static(join(here, 'node_modules'), { extensions: ['js'] }));
app.use(compression());
app.use(createProxyMiddleware({ target: process.argv[2], changeOrigin: true }));
const server = app.listen(0, '127.0.0.1', () => tell({ listening: { port: server.address().port } }));
orders(() => {});
