// Servers that answer every message with the same: sockets.mjs websocket|socketio
import http from 'node:http';
import { Server } from 'socket.io';
import { WebSocketServer } from 'ws';
import { orders, tell } from './tell.mjs';

const server = http.createServer((request, response) => response.writeHead(426).end());
if (process.argv[2] === 'websocket') {
  new WebSocketServer({ server }).on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('close', (code, reason) => tell({ closed: [code, String(reason)] }));
  });
} else {
  new Server(server).on('connection', (socket) => {
    tell({ transport: socket.conn.transport.name });
    socket.conn.on('upgrade', (transport) => tell({ transport: transport.name }));
    socket.on('echo', (message, answer) => answer(message));
    socket.on('disconnect', (reason) => tell({ closed: reason }));
  });
}
server.listen(0, '127.0.0.1', () => tell({ listening: { port: server.address().port } }));
orders(() => {});
