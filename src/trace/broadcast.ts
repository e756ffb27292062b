import type { Cancel } from "../clock.ts";

export interface Subscriber<T> {
  /** `topic` is undefined for what concerns everyone. Must not throw. */
  next(message: T, topic: string | undefined): void;
  /** Nothing will follow. */
  end(): void;
}

export interface Published<T> {
  readonly message: T;
  readonly topic?: string;
}

/** Passes on to all subscribers what is published, without keeping any of it. */
export class Broadcast<T> {
  readonly #subscribers = new Set<Subscriber<T>>();
  readonly #greeting: () => Iterable<Published<T>>;
  #closed = false;

  /** `greeting` makes what a new subscriber is told before anything else. */
  constructor(greeting: () => Iterable<Published<T>> = () => []) {
    this.#greeting = greeting;
  }

  /** False while it is not worth making a message. */
  get hasSubscribers(): boolean {
    return this.#subscribers.size > 0;
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** A subscriber to a closed broadcast is ended at once. */
  subscribe(subscriber: Subscriber<T>): Cancel {
    if (this.#closed) {
      subscriber.end();
      return () => undefined;
    }
    for (const { message, topic } of this.#greeting()) subscriber.next(message, topic);
    this.#subscribers.add(subscriber);
    return () => {
      this.#subscribers.delete(subscriber);
    };
  }

  publish(message: T, topic?: string): void {
    for (const subscriber of this.#subscribers) subscriber.next(message, topic);
  }

  /** Ends all subscribers, now and later. */
  close(): void {
    this.#closed = true;
    for (const subscriber of this.#subscribers) {
      this.#subscribers.delete(subscriber);
      subscriber.end();
    }
  }
}
