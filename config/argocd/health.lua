-- Health of Gatehouse's kinds for Argo CD, so that sync waves wait for apps that really answer.
-- The same text serves ExposedApp, SharedLoadBalancer and ExposurePolicy; how to install it: README.md beside this file.
--
-- Ready=False alone is never Degraded: every first install passes through it, and Argo CD would fail the sync.
-- The operator says Stalled=True when waiting is of no use and a person must act.
local health = {status = "Progressing", message = "Waiting for the operator"}

if obj.metadata.deletionTimestamp ~= nil then
  health.message = "Rules, records and certificates are being taken down"
  return health
end
if obj.status == nil or obj.status.conditions == nil then
  return health
end
-- An old status says nothing about the change that was just applied.
if obj.status.observedGeneration == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local ready = nil
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Stalled" and condition.status == "True" then
    return {status = "Degraded", message = (condition.reason or "Stalled") .. ": " .. (condition.message or "")}
  end
  if condition.type == "Ready" then
    ready = condition
  end
end

if ready ~= nil then
  if ready.status == "True" then
    health.status = "Healthy"
  end
  health.message = ready.message or health.message
end
return health
