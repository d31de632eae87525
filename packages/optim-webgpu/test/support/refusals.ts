/** The refusals of the device from now on, in any scope: messages, as they come. */
export function refusalsOf(device: GPUDevice): readonly string[] {
  const messages: string[] = [];
  const own = device.popErrorScope.bind(device);
  device.popErrorScope = async () => {
    const error = await own();
    if (error !== null) messages.push(error.message);
    return error;
  };
  return messages;
}
