// The server's API, as much of it as the page needs.

/** What is told in one line. `status` 0: no server was reached, or it went away in the midst. */
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The names of the models. Throws: ServerError. */
export async function modelNames(key) {
  const response = await ask("v1/models", key, {});
  return (await response.json()).data.map((model) => model.id);
}

/** The objects of a streamed answer, one by one. Throws: ServerError, AbortError. */
export async function* chunksOf(body, key, signal) {
  const streamed = { ...body, stream: true, return_drafters: true };
  const response = await ask("v1/chat/completions", key, {
    method: "POST", signal, headers: { "content-type": "application/json" }, body: JSON.stringify(streamed),
  });
  for await (const data of eventsOf(response, signal)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(chunk.error.message, 500);
    yield chunk;
  }
  throw new ServerError("The answer broke off: the server closed the connection.");
}

/** The data of server-sent events, whatever pieces they arrive in. */
async function* eventsOf(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await read(reader, signal);
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6).trimEnd();
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have failed already
  }
}

async function read(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError("The connection to the server was lost.");
  }
}

async function ask(path, key, options) {
  const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server cannot be reached.");
  }
  if (!response.ok) throw new ServerError(await complaint(response), response.status);
  return response;
}

async function complaint(response) {
  try {
    const { error } = await response.json();
    return error.message;
  } catch {
    return `The server answered ${response.status} ${response.statusText}`.trimEnd() + ".";
  }
}
