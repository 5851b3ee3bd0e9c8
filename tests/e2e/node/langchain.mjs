// ofetch for the request, @langchain/core's event-source parsing for the answer, [DONE] for its end: langchain.mjs URL
import { getBytes, getLines, getMessages } from '@langchain/core/utils/event_source_parse';
import { ofetch } from 'ofetch';
import { tell, told } from './tell.mjs';

await told(async () => {
  const body = { model: 'any', stream: true, messages: [{ role: 'user', content: 'Hello' }] };
  const stream = await ofetch(`${process.argv[2]}/v1/chat/completions`, { method: 'POST', body, responseType: 'stream' });
  let done = false;
  const onMessage = ({ data }) => {
    if (data === '[DONE]') done = true;
    else if (data) tell({ event: JSON.parse(data).choices[0].delta.content });
  };
  await getBytes(stream, getLines(getMessages(onMessage)));
  if (!done) tell({ error: 'Missing [DONE]' });
});
