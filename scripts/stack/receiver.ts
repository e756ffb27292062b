import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** One alert as Alertmanager tells of it. */
export interface NotifiedAlert {
  readonly status: "firing" | "resolved";
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly startsAt: string;
  readonly endsAt: string;
}

/** What Alertmanager sends to a webhook, and which of the example's receivers it was for. */
export interface Notification {
  /** pager, tickets, notes, deadman */
  readonly receiver: string;
  readonly status: "firing" | "resolved";
  readonly groupLabels: Readonly<Record<string, string>>;
  readonly alerts: readonly NotifiedAlert[];
}

/** Takes what Alertmanager sends to webhooks, at any port of 127.0.0.1. */
export class Receiver {
  /** All so far, in order of arrival. */
  readonly notifications: Notification[] = [];
  readonly #server: Server;

  private constructor(onNotification: (notification: Notification) => void) {
    this.#server = createServer(async (request, response) => {
      const notification: Notification = JSON.parse(await bodyOf(request));
      this.notifications.push(notification);
      onNotification(notification);
      response.writeHead(200).end();
    });
  }

  static async start(onNotification: (notification: Notification) => void): Promise<Receiver> {
    const receiver = new Receiver(onNotification);
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const text of request.setEncoding("utf8")) body += text;
  return body;
}
