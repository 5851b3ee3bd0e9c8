// A WebSocket that sends what it is ordered to: websocket.mjs URL
import WebSocket from 'ws';
import { orders, tell } from './tell.mjs';

const socket = new WebSocket(process.argv[2].replace(/^http/, 'ws'), ['chat']);
socket.on('open', () => tell({ open: socket.protocol }));
socket.on('message', (data, isBinary) => tell({ event: isBinary ? { bytes: data.toString('hex') } : String(data) }));
socket.on('pong', (data) => tell({ event: { pong: String(data) } }));
socket.on('close', (code, reason) => tell({ end: [code, String(reason)] }));
socket.on('error', (error) => tell({ refused: error.message }));
orders((order) => {
  if (order.text !== undefined) socket.send(order.text);
  if (order.bytes !== undefined) socket.send(Buffer.from(order.bytes, 'hex'));
  if (order.ping !== undefined) socket.ping(order.ping);
  if (order.close) socket.close(4000, 'enough');
});
