// fetch and eventsource-parser/stream: eventsource-parser.mjs URL
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { tell, told } from './tell.mjs';

await told(async () => {
  const response = await fetch(process.argv[2], { headers: { Accept: 'text/event-stream' } });
  tell({ open: Object.fromEntries(response.headers) });
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const event of events) tell({ event: { type: event.event ?? 'message', id: event.id ?? '', data: event.data } });
});
