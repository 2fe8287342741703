type Listener<Value> = (value: Value) => void;

/** Whoever listens, by the event's name. A listener that throws harms nobody: `failed` is told. */
export class Events<Map> {
    private readonly listeners = new Map<keyof Map, Set<Listener<never>>>();

    constructor(private readonly failed: (error: Error) => void) {}

    /** Answers what ends the listening. */
    on<Name extends keyof Map>(name: Name, listener: Listener<Map[Name]>): () => void {
        let set = this.listeners.get(name);
        if (!set) this.listeners.set(name, (set = new Set()));
        // The same function may listen twice.
        const own: Listener<Map[Name]> = (value) => listener(value);
        set.add(own as Listener<never>);
        return () => void set.delete(own as Listener<never>);
    }

    has(name: keyof Map): boolean {
        return (this.listeners.get(name)?.size ?? 0) > 0;
    }

    emit<Name extends keyof Map>(name: Name, value: Map[Name]): void {
        for (const listener of [...(this.listeners.get(name) ?? [])]) {
            try {
                (listener as Listener<Map[Name]>)(value);
            } catch (error) {
                this.failed(toError(error));
            }
        }
    }
}

export function toError(thrown: unknown): Error {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
}
