// socket.io's client as it comes: it polls, then upgrades. socketio.mjs URL
import { io } from 'socket.io-client';
import { orders, tell } from './tell.mjs';

const socket = io(process.argv[2]);
socket.io.on('open', () => {
  tell({ open: socket.io.engine.transport.name });
  socket.io.engine.on('upgrade', (transport) => tell({ upgraded: transport.name }));
  socket.io.engine.on('upgradeError', (error) => tell({ refused: error.message }));
});
socket.on('connect_error', (error) => tell({ error: error.message }));
orders(({ text }) => {
  socket.emit('echo', text, (answer) => tell({ event: { via: socket.io.engine.transport.name, text: answer } }));
});
