import { expect, test, vi } from "vitest";
import { StreamChannel } from "../src/screens/machines/streamChannel";

const stream = () => ({ write: vi.fn(), acknowledge: vi.fn(), close: vi.fn() });
const text = (data: ArrayBuffer) => new TextDecoder().decode(data);
const bytes = (words: string) => new TextEncoder().encode(words);

test("what the server says before the channel is open is heard first, once", () => {
  const channel = new StreamChannel();
  const heard: string[] = [];
  channel.received(bytes("RFB "));
  channel.onopen = () => heard.push("open");
  channel.onmessage = ({ data }) => heard.push(text(data));
  channel.received(bytes("003.008"));
  channel.opened(stream());
  channel.received(bytes("more"));
  expect(heard).toEqual(["open", "RFB ", "003.008", "more"]);
});

test("bytes are sent as they were when they were sent", () => {
  const channel = new StreamChannel();
  const to = stream();
  channel.opened(to);
  const buffer = bytes("abc");
  channel.send(buffer);
  buffer.fill(0);
  expect(Array.from(to.write.mock.calls[0]?.[0])).toEqual([97, 98, 99]);
});

test("an empty message ends the connection", () => {
  const channel = new StreamChannel();
  const closed = vi.fn();
  channel.onclose = closed;
  channel.opened(stream());
  channel.received(new Uint8Array());
  channel.received(new Uint8Array());
  expect(channel.readyState).toBe("closed");
  expect(closed).toHaveBeenCalledOnce();
});
