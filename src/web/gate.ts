import type { RequestHandler } from "express";
import type { Clock } from "../clock.ts";
import type { WebAccess } from "../config/webConfig.ts";
import type { WebDeps } from "./app.ts";
import { Passwords } from "./passwords.ts";
import { sendText } from "./responses.ts";

const CHALLENGE = 'Basic realm="albatross-exporter", charset="UTF-8"';

/** What every request has to pass, health checks too: headers are set, then a limit and users apply. */
export function gate({ access, clock, log, metrics }: WebDeps): RequestHandler {
  const bucket = new TokenBucket(clock);
  const passwords = new Passwords({ clock });
  return async (request, response, next) => {
    const { headers, rateLimit, users } = access.current();
    for (const [name, value] of Object.entries(headers)) {
      if (value === "") response.removeHeader(name);
      else response.setHeader(name, value);
    }
    const tooMany = (why: string) => sendText(response, 429, `Too Many Requests: ${why}, try again later.`);
    if (!bucket.take(rateLimit)) return tooMany("rate_limit of the web configuration is reached");
    if (users.size === 0) return next();
    const given = request.get("Authorization");
    const credentials = basicCredentials(given);
    if (credentials !== null) {
      const isRight = await passwords.check(credentials.user, credentials.password, users);
      if (isRight === true) return next();
      if (isRight === null) return tooMany("many passwords are being checked");
    }
    // browsers begin without any
    if (given !== undefined) {
      metrics.authFailed();
      log.warn({ client: request.ip }, "request refused: wrong user or password");
    }
    response.setHeader("WWW-Authenticate", CHALLENGE);
    sendText(response, 401, "Unauthorized: needs a user and password of the web configuration.");
  };
}

/** User and password of an Authorization header (RFC 7617); null for any other. */
function basicCredentials(header = ""): { readonly user: string; readonly password: string } | null {
  const [, encoded] = /^basic +([\w+/=-]+) *$/i.exec(header) ?? [];
  const text = Buffer.from(encoded ?? "", "base64").toString();
  const colon = text.indexOf(":");
  return colon < 0 ? null : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Lets `burst` requests pass at once, then one each interval. */
class TokenBucket {
  readonly #clock: Pick<Clock, "nowUs">;
  #tokens = Number.POSITIVE_INFINITY;
  #filledAtUs = 0;

  constructor(clock: Pick<Clock, "nowUs">) {
    this.#clock = clock;
  }

  take({ intervalMs, burst }: WebAccess["rateLimit"]): boolean {
    if (intervalMs === 0) return true;
    const nowUs = this.#clock.nowUs();
    const fresh = (nowUs - this.#filledAtUs) / (intervalMs * 1000);
    this.#tokens = Math.min(burst, this.#tokens + fresh);
    this.#filledAtUs = nowUs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
