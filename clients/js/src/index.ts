export { IcometClient } from './client';
export { iComet, type ICometConfig, type OldMessage } from './icomet';
export {
    TRANSPORTS, type ClientEvents, type ClientOptions, type Lost, type Message, type Position, type Refused, type State,
    type SubscribeOptions, type Subscription, type TransportName,
} from './types';
