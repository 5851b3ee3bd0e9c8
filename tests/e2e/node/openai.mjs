// The openai SDK for Node: openai.mjs URL
import OpenAI from 'openai';
import { tell, told } from './tell.mjs';

await told(async () => {
  const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: 'sk-of-the-client', maxRetries: 0 });
  const messages = [{ role: 'user', content: 'Hello' }];
  const stream = await client.chat.completions.create({ model: 'any', messages, stream: true });
  for await (const chunk of stream) tell({ event: chunk.choices[0].delta.content });
});
